namespace JobLocks.Postgres.Session;

/// <summary>
/// The server backends of this process's lost sessions. The server may not have noticed a loss yet: such a backend holds its locks until it is closed.
/// Not thread-safe: used under the mutex of the <see cref="SessionSupervisor"/>.
/// </summary>
internal sealed class FormerBackends
{
    private const int Most = 16;

    private readonly Queue<int> _backends = new();

    /// <summary>The session of this backend is lost.</summary>
    public void Add(int backend)
    {
        _backends.Enqueue(backend);
        if (_backends.Count > Most) _backends.Dequeue();
    }

    /// <summary>Whether a backend is one of the last sixteen lost sessions.</summary>
    public bool Contains(int backend) => _backends.Contains(backend);
}
