"""The console at /console: pages for people who run the gateway, made on the server.

routes      which pages there are
door        one request: who asks, what comes in, what goes out
visitors    who may come in, and what they may see
sessions    the cookie of somebody who has signed in
watch       what the last quarter of an hour was like
totals      what was counted, and what happened between two looks at it
pages       the templates, and how numbers are told
"""
