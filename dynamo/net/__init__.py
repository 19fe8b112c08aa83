"""Sockets: the only part of the store that knows zerorpc and gevent."""
