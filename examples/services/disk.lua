-- A client of the service: there must be a directory that can be written to.
local Disk <const> = {
  options = {
    directory = { type = "string", required = true, doc = "where the data are kept" },
  },
}

function Disk:check()
  local path <const> = self.config.directory .. "/.health"
  local file, err = io.open(path, "w")
  if not file then return nil, err end
  file:close()
  return os.remove(path)
end

function Disk:start(ctx)
  local health <const> = ctx:request "health"
  health:register(self.name, function() return self:check() end)
end

return Disk
