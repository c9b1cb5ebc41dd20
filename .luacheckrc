std = "lua54"
max_line_length = 90
files["spec/**/*_spec.lua"] = { std = "lua54+busted" }
files["examples/**/*_spec.lua"] = { std = "lua54+busted" }
