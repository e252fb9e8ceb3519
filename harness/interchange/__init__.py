"""What programs exchange: other harnesses' logs read with care, and stored cells as others want them."""
