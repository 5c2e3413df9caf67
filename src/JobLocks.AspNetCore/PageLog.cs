using System.Net;
using Microsoft.Extensions.Logging;

namespace JobLocks.AspNetCore;

/// <summary>Log messages of the page, with ids from 700.</summary>
internal static partial class PageLog
{
    [LoggerMessage(701, LogLevel.Warning, "The page of the locks refused a request from {Remote}: {Reason}. Call RequireAuthorization or AllowAnonymous after MapJobLocks")]
    public static partial void RefusedWithoutPolicy(this ILogger log, IPAddress? remote, string reason);
}
