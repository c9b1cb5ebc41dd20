-- ahost.command.search: where `require` finds the modules of an application.

local search <const> = {}

--- Adds the directory of a file in front, as scripts have theirs.
---@param file string?
function search.beside(file)
  local directory <const> = file and file:match("^(.*)/[^/]*$")
  if directory then
    package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory,
      package.path)
  end
end

return search
