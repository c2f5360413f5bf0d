"""From a model to a faster one: graphs, builds in processes of their own, verification, int8.

Nothing here serves frames; what is built here is loaded one folder up.
"""
