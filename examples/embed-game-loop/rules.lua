-- The rules of the game: the player walks to and fro.
local Rules <const> = {
  options = {
    speed = { type = "number", default = 60, doc = "how far one gets in a second" },
    width = { type = "number", default = 40, min = 1, doc = "where one turns around" },
  },
}

function Rules:start(ctx)
  local player <const> = ctx:require "game.player"
  local direction = 1
  ctx:require "bus":subscribe("game.frame", function(_, seconds)
    player:move(direction * self.config.speed * seconds, 0)
    local x <const> = player:position()
    if x > self.config.width then direction = -1 elseif x < 0 then direction = 1 end
  end)
end

return Rules
