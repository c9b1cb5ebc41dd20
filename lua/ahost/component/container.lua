-- A component that does nothing but have others below it: the root of `components:`.

return {}
