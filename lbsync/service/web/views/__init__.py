"""What pages show: from the service's values to words, marks, groups and places in a picture.

Rule of this room: pure, no HTML and no request; a template writes down what it gets from here and decides nothing.
"""
