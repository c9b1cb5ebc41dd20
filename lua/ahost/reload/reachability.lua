local reachability <const> = {}
function reachability.expect_end(app, old) old.instance = nil end
return reachability
