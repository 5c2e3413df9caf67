namespace ClientSync;

/// <summary>The feed cannot be used. The message is one line: file, line, cause.</summary>
internal sealed class BadFeedException(string message) : Exception(message);
