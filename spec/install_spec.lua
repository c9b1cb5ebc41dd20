-- Holds `cmake --install` against those who use what it installs: compilers, pkg-config,
-- CMake, the dynamic linker.

local certificates <const> = require "spec.certificates"
local installed <const> = require "spec.installed"
local subprocess <const> = require "spec.subprocess"

local with_installed <const> = installed.tests(it, pending)

local PROGRAM <const> = [[
#include <ahost.h>
#include <stdio.h>
int main(void) {
    ahost *host;
    if (ahost_open(&host, NULL) != AHOST_OK ||
        ahost_load_string(host,
                          "require('ahost.host').stop(#require('ahost.json')"
                          ".encode{require('ahost.yaml').decode'[1]'})",
                          "=script") != AHOST_OK)
        return 99;
    printf("%d\n", ahost_run(host));
    ahost_close(host);
    return 0;
}
]]

local SECURE <const> = [[
#include <ahost.h>
int main(void) {
    ahost *host;
    if (ahost_open(&host, NULL) != AHOST_OK)
        return 99;
    ahost_load_string(host,
                      "print(require 'ahost.net'.connect('127.0.0.1:1', "
                      "{ tls = true }))",
                      "=script");
    ahost_run(host);
    return ahost_close(host);
}
]]

-- It prints the length of [[1]].
local OUTPUT <const> = "5\n"

local CMAKE <const> = [[
cmake_minimum_required(VERSION 3.24)
project(consumer LANGUAGES C)
find_package(ahost %s REQUIRED COMPONENTS static lua)
foreach(kind IN ITEMS ahost static lua)
  add_executable(use_${kind} program.c)
  target_link_libraries(use_${kind} PRIVATE ahost::${kind})
endforeach()
add_library(module MODULE module.c)
target_link_libraries(module PRIVATE ahost::headers)
]]

local MODULE <const> = [[
#include <ahost_lua.h>
int luaopen_module(lua_State *L);
int luaopen_module(lua_State *L) {
    uv_loop_t *loop = ahost_loop(ahost_from_lua(L));
    lua_pushboolean(L, loop->data != NULL);
    return 1;
}
]]

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

describe("the installation", function()
  local at

  lazy_setup(function()
    if installed.missing then return end
    at = installed.new()
    subprocess.write(at.directory .. "/work/program.c", PROGRAM)
    subprocess.write(at.directory .. "/work/module.c", MODULE)
  end)

  lazy_teardown(function()
    if at then at:close() end
  end)

  with_installed("has headers, libraries, the command and what finds them", function()
    assert.equal(([[
bin/ahost
include/ahost.h
include/ahost_lua.h
lib/cmake/ahost/ahost-config-version.cmake
lib/cmake/ahost/ahost-config.cmake
lib/libahost.a
lib/libahost.so
lib/libahost.so.0
lib/libahost.so.0.1.0
lib/lua/5.4/ahost.so
lib/pkgconfig/ahost-lua.pc
lib/pkgconfig/ahost.pc
]]):gsub("0%.1%.0", require("ahost.host").version), at:run
      [[cd $prefix; find . -type d -o -print | cut -c3- |
        grep -v -e ^share/ -e ^lib/ahost/ | LC_ALL=C sort]])
  end)

  with_installed("goes below DESTDIR for those who make packages", function()
    assert.equal("usr/lib/libahost.so.0\n", at:run [[
      DESTDIR=$PWD/stage cmake --install $build --prefix /usr >/dev/null
      cd stage; ls usr/lib/libahost.so.0; test -e usr/lib/lua/5.4/ahost.so]])
  end)

  with_installed("shows the dynamic linker nothing but the interface", function()
    local declared = {}
    for _, header in ipairs { "ahost.h", "ahost_lua.h" } do
      for name in read("host/" .. header):gmatch "%f[%w_](ahost_[%w_]+)%(" do
        declared[name] = true
      end
    end
    local count = 0
    for name in at:run("nm -D --defined-only $prefix/lib/libahost.so | cut -d' ' -f3")
        :gmatch "%S+" do
      assert.truthy(declared[name] or name:find "^luaopen_ahost", name .. " is visible")
      count = count + 1
    end
    assert.truthy(count > 10)
    assert.matches("SONAME.*%[libahost%.so%.0%]", at:run
      "readelf -d $prefix/lib/libahost.so")
  end)

  with_installed("lets programs link to the shared library by pkg-config", function()
    assert.equal(OUTPUT, at:run [[
      cc $CFLAGS program.c $(pkg-config --cflags --libs ahost); ./a.out
      ldd a.out | grep libahost.so.0 >log]])
  end)

  with_installed("works opened at run time, RTLD_LOCAL, in several copies", function()
    at:run "cc $CFLAGS -I$prefix/include -o run $root/spec/embed/dlopen.c"
    assert.equal("one.so\t[1,2]\t3\ntwo.so\t[1,2]\t3\n", at:run [[
      ! ldd run | grep libahost
      cp $prefix/lib/libahost.so one.so; cp one.so two.so
      LD_LIBRARY_PATH=. ./run one.so two.so]])
  end)

  with_installed("lets programs contain the static library by pkg-config", function()
    assert.equal(OUTPUT, at:run [[
      flags=$(pkg-config --static --cflags --libs ahost | sed s/-lahost/-l:libahost.a/)
      cc $CFLAGS program.c $flags; ./a.out
      ! ldd a.out | grep libahost]])
  end)

  with_installed("tells a static program what parts with a library need of it", function()
    if not certificates.has_tls() then return end
    subprocess.write(at.directory .. "/work/secure.c", SECURE)
    local out <const> = at:run [[
      mkdir components; cp $(find $prefix/lib/ahost -name tls.so) components
      flags=$(pkg-config --static --cflags --libs ahost | sed s/-lahost/-l:libahost.a/)
      flags=$(echo "$flags" | sed 's/-llua5.4\([^ ]*\)/-l:liblua5.4\1.a/g')
      cc $CFLAGS secure.c $flags; ./a.out
      cc $CFLAGS -rdynamic secure.c $flags; ./a.out]]
    assert.matches("^nil\ttls cannot be loaded into this program, which does not export "
      .. "'lua_pushlightuserdata': link it with %-rdynamic", out)
    assert.matches("\nnil\tconnect 127%.0%.0%.1:1: connection refused", out)
  end)

  with_installed("offers programs in C++ what it offers those in C", function()
    assert.equal(OUTPUT, at:run [[
      cp program.c program.cc
      sed -i 's/<ahost.h>/<ahost_lua.h>/' program.cc
      c++ -Wall -Wextra -Wpedantic -Werror program.cc \
        $(pkg-config --cflags --libs ahost-lua)
      ./a.out]])
  end)

  with_installed("may be moved, and is found by CMake where it is then", function()
    subprocess.write(at.directory .. "/work/CMakeLists.txt",
      CMAKE:format(require("ahost.host").version))
    assert.equal(OUTPUT:rep(3) .. "true\n", at:run [[
      mkdir moved; mv $prefix moved/elsewhere; trap 'mv moved/elsewhere $prefix' EXIT
      export LD_LIBRARY_PATH=
      cmake -B out -D CMAKE_PREFIX_PATH=$PWD/moved/elsewhere . >log 2>&1 || cat log
      cmake --build out >log 2>&1 || cat log
      for kind in ahost static lua; do out/use_$kind; done
      PKG_CONFIG_PATH=$PWD/moved/elsewhere/lib/pkgconfig pkg-config --libs ahost \
        | grep -q moved
      echo 'package.cpath = "out/lib?.so"; print((require "module"))' >script.lua
      moved/elsewhere/bin/ahost script.lua]])
  end)

  with_installed("is not found by those who need another version", function()
    subprocess.write(at.directory .. "/work/CMakeLists.txt", CMAKE:format("99.0"))
    local result <const> = at:shell "cmake -B wrong -D CMAKE_PREFIX_PATH=$prefix ."
    assert.equal(1, result.status)
    assert.matches("version \"99%.0\"", result.err)
  end)
end)

describe("the headers", function()
  it("are strict C99 and C++, each alone", function()
    for header, flags in pairs {
      ["ahost.h"] = "",
      ["ahost_lua.h"] = "-D_GNU_SOURCE $(pkg-config --cflags lua5.4 libuv)",
    } do
      local result <const> = subprocess.shell(([[
        for language in "c -std=c99" "c++ -std=c++11"; do
          echo '#include "%s"' | cc -x $language -Wall -Wextra -pedantic -Werror \
            -Ihost %s -fsyntax-only - || exit 1
        done]]):format(header, flags))
      assert.equal("", result.err)
      assert.equal(0, result.status)
    end
  end)
end)

describe("the reference of the C interface", function()
  local made <const> = subprocess.shell("command -v doxygen").status == 0
    and with_installed or function(name) pending(name .. " (needs doxygen)") end

  made("is made of the headers without a warning", function()
    local result <const> = subprocess.shell(("cmake --build %s --target reference && "
      .. "grep -q ahost_close %s/reference/html/ahost_8h.html"):format(
      installed.build, installed.build))
    assert.equal("", result.status == 0 and result.err or result.out .. result.err)
  end)
end)
