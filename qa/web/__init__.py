"""The service over HTTP: a JSON API, and pages that work without JavaScript.

server       uvicorn around the application; the port opens before anything is loaded
workers/     several processes over one listening socket, which answer as one
app          routes, pages, errors and middleware put together
deps         what the routes work with: options and services, in one frozen value
middleware/  what every request passes: Host header, keys, limits, overload, logs
api/         the JSON API under /v1
pages/       the pages for people
mcp          tools for language models: at /mcp, and over standard input
asking       a question from the cache or the queue, as long as its client waits
receiving    files that are uploaded, written to the disk as they arrive
federation   a question to several collections at once
batching     a bounded queue: questions that arrive together are answered together
fairness     clients that wait take turns, and none takes all the places
admission    work that holds much: a few at a time, within budgets
problems     the problem detail (RFC 9457) of every error
handlers     exceptions to problems
monitoring   the metrics for Prometheus
static/      style sheets, icon and the one script
"""
