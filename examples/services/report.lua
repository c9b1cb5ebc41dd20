-- The command: prints how everything is. Its status is 1 when something is not well.
local Report <const> = {}

function Report.run(_, ctx)
  local results <const>, names <const>, status = ctx:require "health":run(), {}, 0
  for name in pairs(results) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    print(("%-10s %s"):format(name, results[name]))
    if results[name] ~= "ok" then status = 1 end
  end
  return status
end

return Report
