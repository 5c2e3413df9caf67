namespace JobLocks.Benchmarks.Measuring;

/// <summary>The processor time that all processes of the machine used: on a machine that does nothing else, the schedulers' processes and the server.</summary>
/// <param name="Share">The share of all cores.</param>
/// <param name="Seconds">The sum over all cores.</param>
internal sealed record ProcessorUse(double Share, double Seconds);
