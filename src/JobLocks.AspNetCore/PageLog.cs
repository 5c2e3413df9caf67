using System.Net;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore;

/// <summary>What the page says. Ids from 700.</summary>
internal static partial class PageLog
{
    [LoggerMessage(701, LogLevel.Warning, "The locks are shown to their own machine only, and {Remote} was refused: say RequireAuthorization or AllowAnonymous after MapJobLocks")]
    public static partial void RefusedRemote(this ILogger log, IPAddress? remote);
}
