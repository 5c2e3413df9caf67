using System.Reflection;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>Stands before an object and answers some of its calls itself.</summary>
public class Proxy : DispatchProxy
{
    private object? _inner;
    private Func<string, Func<object?>, object?> _answer = static (_, _) => null;

    /// <summary>Makes one.</summary>
    /// <param name="inner">Who answers the other calls; null where there are none.</param>
    /// <param name="answer">Gets the name of the member and what asks the inner object.</param>
    public static T Before<T>(T? inner, Func<string, Func<object?>, object?> answer)
        where T : class
    {
        var face = Create<T, Proxy>();
        var proxy = (Proxy)(object)face;
        proxy._inner = inner;
        proxy._answer = answer;
        return face;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _answer(targetMethod!.Name, () => targetMethod.Invoke(
        _inner ?? throw new NotSupportedException(targetMethod.Name), BindingFlags.DoNotWrapExceptions, binder: null, args, culture: null));
}
