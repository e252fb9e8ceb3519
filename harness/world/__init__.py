"""A small closed world, made from a seed: what is true in it, six skills to ask about, and data to train on.

Nothing is downloaded.  Each skill is a class in a module of its own, with the members of `skills.Skill`.  Questions are
split by the hash of what fills their template: training, validation and test never share a filling.
"""
