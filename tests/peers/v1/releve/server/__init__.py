"""One generation: a master that forks workers, and workers that serve HTTP/1.1 and WSGI.

Standard library only: the supervisor lends its own copy to a release that has none.
"""
