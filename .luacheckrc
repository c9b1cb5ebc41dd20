std = "lua54"
max_line_length = 90
files["lua/meta/*.lua"] = { ignore = { "212", "241" } } -- declarations only
files["spec/**/*_spec.lua"] = { std = "lua54+busted" }
files["examples/**/*_spec.lua"] = { std = "lua54+busted" }
