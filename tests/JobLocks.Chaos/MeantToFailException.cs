namespace JobLocks.Chaos;

/// <summary>The end of a run that is meant to fail.</summary>
internal sealed class MeantToFailException : Exception
{
    public MeantToFailException()
        : base("This run is meant to fail.")
    {
    }

    public MeantToFailException(string message)
        : base(message)
    {
    }

    public MeantToFailException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
