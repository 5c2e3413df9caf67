using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Triggers that fire at once, and some of them again much later.</summary>
public abstract class ShapeFixture : MechanismFixture
{
    public enum Shape
    {
        Once,
        Simple,
        Cron,
    }

    private protected void SetShape(TriggerBuilder<IJob> trigger, Shape shape)
    {
        if (shape == Shape.Simple) trigger.StartAt(StartSoon()).WithSimpleSchedule(TimeSpan.FromHours(1));
        if (shape == Shape.Cron) SetCron(trigger);
    }
}
