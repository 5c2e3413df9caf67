using System.Reflection;

namespace JobLocks.Quartz.Tests;

public sealed class PublicFaceTests
{
    private static readonly Type[] Public = typeof(JobLockAttribute).Assembly.GetExportedTypes();

    [Test]
    public void Has_only_sealed_and_static_classes() =>
        Assert.That(Public.Where(static type => type is { IsClass: true, IsSealed: false }), Is.Empty);

    [Test]
    public void Lives_in_one_namespace() =>
        Assert.That(Public.Select(static type => type.Namespace), Is.All.EqualTo("JobLocks.Quartz"));

    [Test]
    public void Shows_no_type_of_Npgsql() =>
        Assert.That(
            Public.SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly))
                .SelectMany(static method => method.GetParameters().Select(static parameter => parameter.ParameterType).Append(method.ReturnType))
                .Select(static type => type.Assembly.GetName().Name),
            Is.All.Not.EqualTo("Npgsql"));

    [Test]
    public void Waits_unless_told_otherwise_and_reschedules_after_fifteen_seconds_where_told()
    {
        var attribute = new JobLockAttribute("sync");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(attribute.OnConflict, Is.EqualTo(OnConflict.Wait));
            Assert.That(attribute.RetryAfterSeconds, Is.EqualTo(15));
        }
    }
}
