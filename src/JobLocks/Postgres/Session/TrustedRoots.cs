using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Makes a connection trust the root certificates that its data source was configured with. Npgsql copies everything else to a clone, but not these.
/// If a version of Npgsql keeps them elsewhere, only the certificates that the connection string names and those of the machine are trusted.
/// </summary>
internal static class TrustedRoots
{
    public static void Copy(NpgsqlDataSource from, NpgsqlConnection to)
    {
        if (Of(from) is not { } roots) return;

        var configured = to.SslClientAuthenticationOptionsCallback;
        to.SslClientAuthenticationOptionsCallback = options =>
        {
            configured?.Invoke(options);
            Trust(options, roots());
        };
    }

    private static void Trust(SslClientAuthenticationOptions options, X509Certificate2Collection? roots)
    {
        if (roots is not { Count: > 0 }) return;

        options.CertificateChainPolicy = new()
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = options.CertificateRevocationCheckMode,
        };
        options.CertificateChainPolicy.CustomTrustStore.AddRange(roots);
        options.CertificateChainPolicy.ExtraStore.AddRange(roots);
    }

    private static Func<X509Certificate2Collection?>? Of(NpgsqlDataSource source)
    {
        try
        {
            return RootsOf(HandlerOf(source));
        }
        catch (Exception elsewhere) when (elsewhere is MissingMethodException or TypeLoadException or NotSupportedException)
        {
            // NotSupportedException: the data source was built without TLS.
            return null;
        }
    }

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_TransportSecurityHandler")]
    [return: UnsafeAccessorType("Npgsql.Internal.TransportSecurityHandler, Npgsql")]
    private static extern object HandlerOf(NpgsqlDataSource source);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "get_RootCertificatesCallback")]
    private static extern Func<X509Certificate2Collection?>? RootsOf([UnsafeAccessorType("Npgsql.Internal.TransportSecurityHandler, Npgsql")] object handler);
}
