namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>How a run is put off by a lock that is held.</summary>
public enum PutOff
{
    Wait,
    Reschedule,
}
