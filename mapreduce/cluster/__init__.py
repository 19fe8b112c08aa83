"""The zerorpc services: a master that hands out work, and workers that have it done.

connection   the master as its clients see it
master       its calls, and its process
dispatcher   drives the scheduler with what workers report and users ask
mailbox      orders that wait for a worker
runs         one run of a job: plan, orders, commit
records      what is kept of each job in the store
worker       the task server
messages     what workers and master say to each other
"""
