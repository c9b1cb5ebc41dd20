-- ahost.command.search: where `require` finds the modules of an application.

local search <const> = {}

--- Adds the directory of a file in front, as scripts have theirs.
---@param file string?
function search.beside(file)
  local directory <const> = file and file:match("^(.*)/[^/]*$")
  if not directory then return end
  local places <const> = ("%s/?.lua;%s/?/init.lua;"):format(directory, directory)
  if package.path:sub(1, #places) ~= places then
    package.path = places .. package.path
  end
end

return search
