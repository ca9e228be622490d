"""`make soak`: the console with all its processes, killed at random while it works, judged by what the target holds.

parts      processes that are started again when they end, and what is done to them
stage      which processes there are: registries, queue, database, web, scheduler, workers
hosts      a second network namespace, for workers on another host
corpus     what the source holds, in numbered versions; shelf writes it to the registry's storage
faults     what is done to whom, from a seed
looker     pulls every tag of the target, all the time
visitor    asks for pages, all the time
tasks      tasks and what the database says of them
verdict    what must be true when a task has ended
rounds     one database's run, from the first task to the last
figures    what is counted and printed
"""
