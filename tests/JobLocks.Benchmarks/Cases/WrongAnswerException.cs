namespace JobLocks.Benchmarks.Cases;

/// <summary>A lock was refused that nobody else wants, or granted although it is held: counted as an error of the peer.</summary>
internal sealed class WrongAnswerException() : Exception("The answer was wrong.");
