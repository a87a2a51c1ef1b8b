"""The service over HTTP: a JSON API, and pages that are whole without JavaScript."""
