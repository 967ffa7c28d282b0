import Engine
print(ExactKernel.all.map(\.name))
