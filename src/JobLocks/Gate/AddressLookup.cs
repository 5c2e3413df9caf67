using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>Returns the address under which a run is found while it waits; null where the run cannot be parked.</summary>
/// <param name="hasNoEntry">Whether the run has no queue entry yet. Where it has one, <see cref="RunAddress.Queue"/> may stay empty.</param>
internal delegate RunAddress? AddressLookup(bool hasNoEntry);
