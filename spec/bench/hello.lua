-- The row `startup`: the same script for ahost and for lua5.4.
print("hello")
io.stdout:flush()
