// Each class starts real processes and loads them: side by side on two cores they would only wait for each other.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
