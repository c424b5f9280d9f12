"""Plans, previews and connection tests, each in a child process with limits on memory and time.

Their size depends on user input. The API server has many threads and is never forked: `fork_server` is a process with
one thread that has imported what the work needs. It forks a child per job, watches its memory and time, and kills it
when it exceeds a limit or its client has gone. `fork_client` is the API's side of it, `pool` limits concurrent jobs,
`protocol` is what passes between them, `jobs` are the functions that run in a child."""
