namespace JobLocks.Benchmarks;

/// <summary>There is no PostgreSQL to measure on. The message says how to mend it.</summary>
internal sealed class NoServerException(Exception reason) : Exception(reason.Message, reason);
