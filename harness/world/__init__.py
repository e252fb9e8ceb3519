"""A small closed world, made from a seed: what is true in it, six skills to ask about, and data to train on.

Nothing is downloaded.  A skill module has items() (every question it can ask, as plain rows), `right(row, text)`, a good
answer, and named ways of answering badly.  Questions are split by the hash of what fills their template: training, validation
and test never share a filling.
"""
