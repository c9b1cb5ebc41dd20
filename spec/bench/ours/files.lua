-- `files`: a hundred tasks that read a small file each, again and again; an operation is
-- one file.
local context <const> = require "ahost.context"
local fs <const> = require "ahost.fs"
local time <const> = require "ahost.time"

local count <const> = tonumber((...) or 100000)
local TASKS <const>, SIZE <const> = 100, 1024

local directory <const> = assert(fs.temporary { type = "directory" })
local contents <const> = ("x"):rep(SIZE)

local function path(i) return ("%s/%d"):format(directory, i) end

local function run(n)
  context.scope(function(ctx)
    for i = 1, TASKS do
      ctx:spawn(function()
        local own <const> = path(i)
        for _ = 1, n // TASKS do assert(#fs.read(own) == SIZE) end
      end)
    end
  end)
end

for i = 1, TASKS do assert(fs.write(path(i), contents)) end
run(count // 10)
local began <const>, began_cpu <const> = time.now(), os.clock()
run(count)
print(("operations=%d\nseconds=%.6f\ncpu=%.6f"):format(count // TASKS * TASKS,
  time.now() - began, os.clock() - began_cpu))
