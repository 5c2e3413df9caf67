using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace JobLocks;

/// <summary>The number PostgreSQL sees: the <c>bigint</c> of an advisory lock.</summary>
/// <remarks>
/// Any program that computes the same number acquires the same lock. In Python:
/// <c>struct.unpack('&lt;q', hashlib.sha1(name.encode()).digest()[:8])[0]</c>.
/// </remarks>
/// <param name="Value">The key, as <c>pg_try_advisory_lock(bigint)</c> receives it.</param>
public readonly record struct LockKey(long Value)
{
    // Strict, because replacement characters would give two different invalid names the same key.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The key of a lock name: SHA-1 of its UTF-8 bytes, the first eight of them, little-endian, signed.</summary>
    /// <param name="lockName">The name, such as <c>sync(4)</c>. It is used unchanged: no case folding, no Unicode normalisation.</param>
    /// <returns>For <c>sync(4)</c>: <c>-672582401413756830</c>.</returns>
    /// <exception cref="ArgumentException"><paramref name="lockName"/> is empty, or contains half of a surrogate pair.</exception>
    public static LockKey Of(string lockName)
    {
        ArgumentException.ThrowIfNullOrEmpty(lockName);

        Span<byte> digest = stackalloc byte[SHA1.HashSizeInBytes];
#pragma warning disable CA5350 // SHA-1 is a mapping here, not a secret: other languages must get the same number.
        SHA1.HashData(Utf8(lockName), digest);
#pragma warning restore CA5350
        return new(BinaryPrimitives.ReadInt64LittleEndian(digest));
    }

    /// <summary>The number as text, as <c>psql</c> prints it.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);

    private static byte[] Utf8(string lockName)
    {
        try
        {
            return StrictUtf8.GetBytes(lockName);
        }
        catch (EncoderFallbackException invalid)
        {
            throw new ArgumentException(
                $"The lock name has half of a surrogate pair at position {invalid.Index}, which no UTF-8 text can carry. "
                + "Somewhere a text was cut in the middle of a character: pass it whole.",
                nameof(lockName),
                invalid);
        }
    }
}
