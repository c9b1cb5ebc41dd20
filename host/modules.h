/*
 * modules.h - the C modules of the host by the names that `require` takes.
 */
#ifndef AHOST_MODULES_H
#define AHOST_MODULES_H

#include <lua.h>

#include "bus.h"
#include "component.h"
#include "embed.h"
#include "journal.h"
#include "json.h"
#include "net.h"
#include "signals.h"
#include "tls.h"
#include "worker.h"

int ahost__open_component_code(lua_State *L);
int ahost__open_config_files(lua_State *L);
int ahost__open_fs(lua_State *L);
int ahost__open_host(lua_State *L);
int ahost__open_introspection(lua_State *L);
int ahost__open_loadable(lua_State *L);
int ahost__open_log(lua_State *L);
int ahost__open_log_sinks(lua_State *L);
int ahost__open_process(lua_State *L);
int ahost__open_run_loop(lua_State *L);
int ahost__open_sync(lua_State *L);
int ahost__open_systemd(lua_State *L);
int ahost__open_testing(lua_State *L);
int ahost__open_thread(lua_State *L);
int ahost__open_time(lua_State *L);
int ahost__open_yaml(lua_State *L);
int ahost__open_yaml_core(lua_State *L);

#define AHOST__MODULES(X)                                                      \
    X("ahost.bus", ahost__open_bus)                                            \
    X("ahost.component.code.core", ahost__open_component_code)                 \
    X("ahost.component.runtime", ahost__open_component)                        \
    X("ahost.config.files", ahost__open_config_files)                          \
    X("ahost.context", ahost__open_context)                                    \
    X("ahost.control.introspection", ahost__open_introspection)                \
    X("ahost.embedding.host", ahost__open_embedding)                           \
    X("ahost.error", ahost__open_error)                                        \
    X("ahost.fs.core", ahost__open_fs)                                         \
    X("ahost.host.core", ahost__open_host)                                     \
    X("ahost.host.loadable", ahost__open_loadable)                             \
    X("ahost.host.worker", ahost__open_worker)                                 \
    X("ahost.json.numbers", ahost__open_json_numbers)                          \
    X("ahost.log", ahost__open_log)                                            \
    X("ahost.log.sinks", ahost__open_log_sinks)                                \
    X("ahost.net.core", ahost__open_net)                                       \
    X("ahost.pdict.file", ahost__open_pdict_file)                              \
    X("ahost.process.core", ahost__open_process)                               \
    X("ahost.run.loop", ahost__open_run_loop)                                  \
    X("ahost.signal", ahost__open_signal)                                      \
    X("ahost.sync", ahost__open_sync)                                          \
    X("ahost.systemd.protocol", ahost__open_systemd)                           \
    X("ahost.task.core", ahost__open_task)                                     \
    X("ahost.testing.core", ahost__open_testing)                               \
    X("ahost.thread.core", ahost__open_thread)                                 \
    X("ahost.time", ahost__open_time)                                          \
    X("ahost.tls.core", ahost__open_tls)                                       \
    X("ahost.yaml", ahost__open_yaml)                                          \
    X("ahost.yaml.core", ahost__open_yaml_core)                                \
    X("cjson", luaopen_cjson)

#endif
