# Makes the comments of a header those of doxygen. The banner is about the file,
# a comment behind code about that code, any other about what follows it.
1s|^/\*$|/** @file|
2s|^ \* [a-z_]+\.h - | * |
s|^( *)/\*$|\1/**|
s|^( *)/\* |\1/** |
s|([,;{][ ]*)/\* |\1/**< |
s|^([ ]*[A-Z_]+( = -?[0-9]+)?[ ]*)/\* |\1/**< |
