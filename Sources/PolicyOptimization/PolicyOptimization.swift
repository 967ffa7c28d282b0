// PolicyOptimization
