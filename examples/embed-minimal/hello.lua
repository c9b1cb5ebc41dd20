local task <const> = require "ahost.task"

for _, name in ipairs { ... } do
  task.spawn(function()
    task.sleep(0.01)
    print("hello " .. name)
  end)
end
print "whom do we have here?"
