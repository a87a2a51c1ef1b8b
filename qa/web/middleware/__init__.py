"""What every request passes on its way in, and every response on its way out.

headers    the request's id, and the headers that keep a browser safe
observing  each request counted, timed, logged and traced
limits     the Host header, requests by client and time, sizes of bodies
access     API keys and their scopes
overload   questions past what can be answered are refused early
"""
