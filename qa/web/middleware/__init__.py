"""What every request passes on its way in, and every response on its way out.

headers      the request's id, and the headers that keep a browser safe
observing    each request counted, timed, logged and traced
limits       the Host header, requests by client and time, size and seconds of bodies
access       API keys and their scopes, the operator's machine, and other sites' pages
collections  which collection an address is of, and whether its client may ask it
overload     a full queue refuses early, and slow or endless clients are cut off
"""
