-- The rows: what each job runs and what was promised about it.
--
-- `kind` names the function of run.lua that measures one side of the row:
--   load     servers under bench_load or `client`; `ours` and `reference` start a server
--   program  programs that print operations= and seconds=
--   memory   servers under bench_idle_memory; less is better
--   startup  commands under bench_startup; less is better
--   delay    programs that print milliseconds=; less is better
--
-- In commands ${AHOST}, ${LUA}, ${BIN} (the C programs) and ${DIR} (this folder)
-- are replaced, and ${count} by the row's count, a tenth of it with --quick.
-- `at_least` and `at_most` are the promise about ours / reference; `at_most_ours`
-- is one about our figure alone.

local LINE_SERVERS <const> = {
  ours = "${AHOST} ${DIR}/ours/echo_line.lua 127.0.0.1:0",
  reference = "${BIN}/bench_echo_server line 127.0.0.1:0",
}
local CHUNK_SERVERS <const> = {
  ours = "${AHOST} ${DIR}/ours/echo_chunk.lua 127.0.0.1:0",
  reference = "${BIN}/bench_echo_server chunk 127.0.0.1:0",
}
local BROKERS <const> = {
  ours = "${AHOST} ${DIR}/ours/broker.lua 127.0.0.1:0",
  reference = "${BIN}/bench_broker_server 127.0.0.1:0",
}
local BROKERS_WITH_TASKS <const> = {
  ours = "${AHOST} ${DIR}/ours/broker_tasks.lua 127.0.0.1:0",
  reference = BROKERS.reference,
}

-- load: mode, connections, messages in flight, bytes of a message
local function load(name, job, sides, parameters, at_least)
  return {
    name = name,
    job = job,
    kind = "load",
    unit = "/s",
    ours = sides.ours,
    reference = sides.reference,
    load = parameters,
    at_least = at_least,
  }
end

-- delay: both sides are ours
local function delay(name, job, ours, reference)
  return {
    name = name,
    job = job,
    kind = "delay",
    unit = " ms",
    ours = "${AHOST} ${DIR}/ours/" .. ours,
    reference = "${AHOST} ${DIR}/ours/" .. reference,
  }
end

-- The same Lua job on both sides, in ours/ and reference/.
local function lua(name, job, script, count, arguments, at_least)
  return {
    name = name,
    job = job,
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/" .. script .. " ${count}" .. arguments,
    reference = "${LUA} ${DIR}/reference/" .. script .. " ${count}" .. arguments,
    count = count,
    at_least = at_least,
  }
end

return {
  load("echo_line", "line echo, 64 connections", LINE_SERVERS, "line 64 1 64", 0.88),
  load("echo_line_1000", "line echo, 1,000 connections", LINE_SERVERS,
    "line 1000 1 64", 0.85),
  load("echo_line_16", "line echo, 64 connections, 16 in flight", LINE_SERVERS,
    "line 64 16 64", 8),
  load("echo_chunk", "16 KiB chunk echo, 64 connections", CHUNK_SERVERS,
    "chunk 64 1 16384", 0.85),
  {
    name = "tls_echo",
    job = "16 KiB chunk echo over TLS, 64 connections",
    kind = "load",
    client = "bench_tls_load",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/tls_echo.lua 127.0.0.1:0 ${DIR}/tls.pem",
    reference = "${BIN}/bench_tls_echo_server 127.0.0.1:0 ${DIR}/tls.pem",
    load = "64 16384",
    at_least = 0.85,
  },
  load("broker", "broker, 50 subscribers", BROKERS, "broker 50 1 64", 0.95),
  load("broker_64", "broker, 50 subscribers, 64 in flight", BROKERS,
    "broker 50 64 64", 15),
  load("broker_tasks", "broker with tasks and queues", BROKERS_WITH_TASKS,
    "broker 50 1 64"),
  load("broker_tasks_64", "the same, 64 in flight", BROKERS_WITH_TASKS,
    "broker 50 64 64"),
  lua("spawn", "task spawned, run, joined", "spawn.lua", 1000000, "", 0.5),
  lua("yield", "yield round among 100 tasks", "yield.lua", 5000000, "", 0.8),
  {
    name = "sleep",
    job = "task that sleeps, 100,000 at once",
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/sleep.lua 100000 5",
    reference = "${BIN}/bench_sleep_timers 100000 5",
    at_least = 0.5,
  },
  {
    name = "files",
    job = "small files read, 100 at once",
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/files.lua ${count}",
    reference = "${BIN}/bench_read_files ${count}",
    count = 100000,
  },
  lua("queue", "item through a queue of one", "queue.lua", 2000000, "", 0.5),
  {
    name = "thread_call",
    job = "function called in a thread",
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/thread_call.lua ${count}",
    reference = "${BIN}/bench_thread_call ${count}",
    count = 200000,
  },
  lua("emit_1", "emit to 1 listener", "emit.lua", 1000000, " 1", 0.3),
  lua("emit_10", "emit to 10 listeners", "emit.lua", 200000, " 10", 0.3),
  lua("emit_100", "emit to 100 listeners", "emit.lua", 20000, " 100", 0.3),
  lua("publish_1000", "publish to 1,000 bus subscribers", "publish.lua", 2000, " 1000",
    0.3),
  lua("components", "start of 1,000 components", "components.lua", 20, " 1000"),
  {
    name = "component_code",
    job = "start of 1,000 components of one file",
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/component_code.lua own 5",
    reference = "${AHOST} ${DIR}/ours/component_code.lua shared 5",
  },
  lua("merge", "merging a 1 MiB YAML file", "merge.lua", 200, ""),
  lua("lookup_own", "resource lookup, own context", "lookup.lua", 5000000, " 0", 0.3),
  lua("lookup_five", "resource lookup, five up", "lookup.lua", 5000000, " 5", 0.3),
  lua("metric", "add() to a counter", "metric.lua", 20000000, " 0"),
  lua("metric_tags", "add() to a counter by a tag", "metric.lua", 2000000, " 1"),
  lua("log_below", "log record below the level", "log_below.lua", 20000000, ""),
  {
    name = "spawn_process",
    job = "a program run to its end",
    kind = "program",
    unit = "/s",
    ours = "${AHOST} ${DIR}/ours/spawn_process.lua ${count}",
    reference = "${BIN}/bench_spawn_processes ${count}",
    count = 1000,
  },
  delay("reload_pause", "pause: 1 of 100, 10,000 connections", "reload.lua 1 100 10000",
    "reload.lua 1 100 0"),
  delay("reload_pause_all", "pause: all 100, 10,000 connections",
    "reload.lua 100 100 10000", "reload.lua 100 100 0"),
  delay("reload_answer", "from saving to the new answer", "reload_answer.lua control",
    "reload_answer.lua restart"),
  delay("reload_watch", "the same by --watch", "reload_answer.lua watch",
    "reload_answer.lua restart"),
  {
    name = "memory",
    job = "memory of an idle connection",
    kind = "memory",
    unit = " B",
    ours = LINE_SERVERS.ours,
    reference = LINE_SERVERS.reference,
    connections = 5000,
    at_most_ours = 2000,
  },
  {
    name = "startup",
    job = "from exec to first output",
    kind = "startup",
    unit = " ms",
    ours = "${AHOST} ${DIR}/hello.lua",
    reference = "${LUA} ${DIR}/hello.lua",
    at_most = 2.0,
  },
}
