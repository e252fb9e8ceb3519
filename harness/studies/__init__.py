"""A grid of training runs from one YAML file: trained (or named, where they exist), scored, compared; resumable."""
