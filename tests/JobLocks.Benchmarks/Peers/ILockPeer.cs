namespace JobLocks.Benchmarks.Peers;

/// <summary>A library that takes advisory locks.</summary>
internal interface ILockPeer : IAsyncDisposable
{
    string Name { get; }

    /// <summary>The <c>application_name</c> of its connections.</summary>
    string Application { get; }

    /// <summary>A lock as a user of this library would name it.</summary>
    IPeerLock Lock(string name);

    /// <summary>The lock that JobLocks takes for this name, so that one holder refuses all peers.</summary>
    IPeerLock LockOfAll(string name);

    /// <summary>Lets go of connections that it keeps for later, since the next contender needs the room.</summary>
    Task RestAsync(CancellationToken stop);
}
