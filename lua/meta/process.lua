---@meta ahost.process

--- ahost.process: the process that the script runs in. What is changed here is changed
--- for the whole process: for C code in it, and for other hosts if it has several.
---@class ahost.process
---@field pid integer      the number of the process; cannot be set
---@field ppid integer     that of its parent; cannot be set
---@field title? string    what ps(1) shows; setting it cuts it to the space that the
---                        command line took, and raises in a program that embeds the
---                        host without uv_setup_args(); nil there
---@field env ahost.Environment
---@field stdin ahost.StandardStream
---@field stdout ahost.StandardStream
---@field stderr ahost.StandardStream
local process = {}

-- Process signals -----------------------------------------------------------------------

---What listeners of a process signal get.
---@class ahost.ProcessSignalEvent: ahost.Event
---@field signal string     "TERM"
---@field number integer    15

---The signal that is emitted when the process gets a process signal: ABRT ALRM CHLD CONT
---HUP INT IO PIPE PROF QUIT SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 XCPU XFSZ VTALRM
---WINCH. It is the same one each time. Several arrivals in quick succession may be one
---event, as the kernel has it.
---
---Handled only while somebody is connected, waits or iterates; before and after, the
---process does what it did without (dies of USR1, ignores what nohup ignored). So a
---loop goes over `events()`: between two calls of `wait` nobody listens. A connection
---keeps no script running, a task that waits does.
---
---In the command, INT and TERM stop a script that does not listen to them. Who listens
---decides instead, and may call `host.stop()`; once the host stops, one more also names
---in the log what is still waited for. The third one ends the program at once with status
---70: the third without a pause of more than 5 seconds when the script listens.
---
---`os.execute` blocks the loop, and ignores INT and QUIT meanwhile.
---
---Raises for other names and for those that nobody can listen to: KILL STOP SEGV BUS FPE
---ILL.
---@param name string    with or without "SIG"
---@return ahost.Signal? signal
---@return ahost.Error? err    code EMFILE, ENOMEM...
function process.signal(name) end

-- Standard streams ----------------------------------------------------------------------

---A stream on descriptor 0, 1 or 2, opened when its field is first read and the same one
---from then on; it belongs to the host's root context. Terminals, pipes, sockets, files
---and devices will do; reading a field raises when there is no such descriptor (the
---command puts /dev/null where one is closed).
---
---What was written before the program ends arrives, however slow the reader: the end of
---the program waits for it, and INT or TERM kill the program then. When nobody reads any
---more, writing gives EPIPE and nothing else happens.
---
---`print` and `io.write` have a buffer of their own, that of C, which leaves when it is
---full, at `io.stdout:flush()` and at the end of the program, behind what streams wrote;
---what is in it when `process.stdout` is first used goes before. Who uses both flushes
---both. Likewise `io.read` does not see what `process.stdin` has read ahead.
---
---Terminals and pipes are opened once more, so that nobody else's descriptor becomes
---non-blocking. Sockets, named pipes and what belongs to another user cannot be; they are
---non-blocking from the first use to the end of the host, also for `print`, which drops
---then what a slow reader has no room for.
---
---`close` waits for the reader without limit unless `linger` says otherwise, and leaves
---/dev/null in the place of the descriptor, so that the other end of a pipe notices;
---`shutdown` does the same when all is sent, but for a socket, whose sending side alone
---is ended. The end of the host leaves the descriptors open, and blocking as they were.
---@class ahost.StandardStream: ahost.Stream

-- The environment -----------------------------------------------------------------------

---The environment variables. What is set here is what `os.getenv` and child processes
---see; nil removes. `pairs` goes through them as they were when it began. Setting raises
---for a name that is empty or holds "=", and for values that are no strings or numbers.
---
---libuv's threads may read the environment while they look up host names; the C library
---does not protect them from changes. Change it before such work starts.
---@class ahost.Environment
---@field [string] string?

-- The process ---------------------------------------------------------------------------

---@class ahost.ProcessorTime
---@field user number      seconds spent in the program
---@field system number    seconds spent in the kernel for it

---The processor time that the process took so far, all its threads together.
---@return ahost.ProcessorTime? time
---@return ahost.Error? err
function process.cpu() end

---@class ahost.ProcessMemory
---@field rss integer     bytes in memory now
---@field peak integer    the most there ever were

---The memory of the process. (`host.stats()` has that of the host alone.)
---@return ahost.ProcessMemory? memory
---@return ahost.Error? err
function process.memory() end

---The working directory.
---@return string? path
---@return ahost.Error? err    code ENOENT when it has been removed
function process.cwd() end

---Changes the working directory, which relative paths start from.
---@param path string
---@return true? ok
---@return ahost.Error? err    code ENOENT, ENOTDIR, EACCES...
function process.chdir(path) end

---@return string? name    of this machine
---@return ahost.Error? err
function process.hostname() end

-- Child processes -----------------------------------------------------------------------
--
-- `process.spawn` and `process.run` are in lua/ahost/process.lua.
--
-- A program that embeds the host has to know: libuv handles SIGCHLD from the first child
-- to the end of the last, then the program's disposition is back. Meanwhile the program
-- must not replace that handler, block SIGCHLD in all threads, or wait for any child
-- whatever (waitpid(-1)): it would take the end of a child of ours, and nobody hears of
-- it then. And it has to ignore SIGPIPE, as the command does, if scripts write to
-- children.

---How a child ended.
---@class ahost.ProcessEnd
---@field status integer    what it exited with; 128 and the number of the process signal
---                         that it died of, as in shells
---@field signal? string    that process signal: "TERM"; without a name its number

---A process that was started by `process.spawn`. When it has ended nothing remains of it,
---whether anybody has waited for it or not.
---
---`stdin`, `stdout` and `stderr` are streams when they are pipes, else nil. They go in
---one direction: `stdin:shutdown()` closes it, which the child sees as the end.
---@class ahost.ChildProcess
---@field pid integer
---@field stdin? ahost.Stream
---@field stdout? ahost.Stream
---@field stderr? ahost.Stream
local Child = {}

---Waits until the child has ended; not until its outputs have been read.
---@param timeout? number       seconds (none); the child goes on when they are over
---@return ahost.ProcessEnd? how
---@return ahost.Error? err     code TIMEDOUT
function Child:wait(timeout) end

---Sends a process signal: to the child, or with `group` to what is left of its group,
---also when the child itself has ended. Raises for unknown names and numbers.
---@param signal? string|integer    "TERM" (the default), "SIGTERM", 15
---@return true? ok
---@return ahost.Error? err         code ESRCH when it has ended, EPERM
function Child:kill(signal) end

---Ends the child as the end of its context would: TERM, and KILL after `stop_timeout`.
---Waits until it has ended. Also what `local child <close>` does.
---@return ahost.ProcessEnd how
function Child:close() end

return process
