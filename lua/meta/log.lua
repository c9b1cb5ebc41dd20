---@meta ahost.log

---Log records. The names of loggers have parts separated by dots; a name has the
---level of the nearest name above it that has been given one, `""` is above all.
---A record below the level of its logger is dropped, which costs next to nothing.
---The others go where log.configure says, and without that to the program that runs
---the host: the command `ahost` writes them to standard error.
local log = {}

---@alias ahost.LogLevel
---| "debug"
---| "info"
---| "notice"    # the lowest level by default
---| "warning"
---| "error"
---| "critical"

---A logger. Its methods for the levels take a format and its arguments as those of
---string.format, and then a table of structured data, shown in front of the text:
---
---    logger:info("%d sold", 3, { customer = 7 })   --> [sd customer="7"] 3 sold
---
---They neither wait nor raise: what is wrong with a format is noted in the record.
---A first argument that is no string is logged as tostring shows it.
---@class ahost.Logger
local Logger = {}

---@param format any
---@param ... any
function Logger:debug(format, ...) end

---@param format any
---@param ... any
function Logger:info(format, ...) end

---@param format any
---@param ... any
function Logger:notice(format, ...) end

---@param format any
---@param ... any
function Logger:warning(format, ...) end

---@param format any
---@param ... any
function Logger:error(format, ...) end

---@param format any
---@param ... any
function Logger:critical(format, ...) end

---Whether a record of that level would be written now.
---@param level ahost.LogLevel
---@return boolean
function Logger:enabled(level) end

---@class ahost.LogRecord
---@field level ahost.LogLevel
---@field logger string
---@field text string      as the program gets it, structured data in front
---@field message string   without structured data
---@field data? table      the structured data as it was given
---@field time number      seconds since the epoch

---Records as they are logged, those of the host too. Ends with the context in
---which it was made, or when the program has forgotten it; closable.
---@class ahost.LogCapture
---@field records ahost.LogRecord[]   oldest first, up to now
---@field dropped integer             records that came after `max`
local Capture = {}

---Captures nothing more; what there is stays. Harmless when repeated.
function Capture:close() end

---@class ahost.LogCaptureOptions
---@field passes? boolean   whether the program gets the records too (true)
---@field max? integer      how many are kept (10,000)

---The logger of a name, the same one while it is in use.
---@param name? string   "" if left out
---@return ahost.Logger
function log.get(name) end

---Sets the lowest level of a logger and those below it. Raises for what is no level.
---@param name? string            "" if left out: all that have none of their own
---@param level? ahost.LogLevel   nil: that of the name above decides again
function log.set_level(name, level) end

---The lowest level of a logger.
---@param name? string   "" if left out
---@return ahost.LogLevel
function log.level(name) end

---Keeps what passes the levels from now on. Does not wait. Raises in a closed
---context.
---@param options? ahost.LogCaptureOptions
---@return ahost.LogCapture
function log.capture(options) end

---@class ahost.LogConfigureOptions
---@field verbose? boolean   the level that is set now is the lowest whatever `values` say
---@field file? string       a path: records go there, too
---@field syslog? string     the address of a syslog server: records go there, too

---Sends records where `values` say, from now on: a table as it stands under `logging:`
---in a configuration. The handlers `console`, `file`, `json` and `syslog` in it are
---everybody's. Or, in the form of Python's dictConfig, `handlers` have names and
---formatters and each of `loggers` has those it names. Without any handler records
---go to the program. What earlier handlers hold is still written.
---
---Handlers write in threads of their own, from queues that are bounded: what comes
---when one is full is dropped and counted. Files are opened at once. Does not wait.
---@param values? table
---@param options? ahost.LogConfigureOptions
---@return true? ok
---@return ahost.Error? err   code CONFIG, all that is wrong; nothing has changed then
function log.configure(values, options) end

---Has files moved to their backups, or opened again when somebody else has moved them.
---Does not wait.
function log.rotate() end

---@class ahost.LogHandlerStats
---@field name string       "log file /var/log/app.log"
---@field queued integer    records that are not written yet
---@field dropped integer   records that will not be written

---What has become of the records of each handler.
---@return ahost.LogHandlerStats[]
function log.stats() end

return log
