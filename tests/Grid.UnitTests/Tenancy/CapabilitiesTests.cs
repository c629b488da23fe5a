using Grid.Server.Tenancy;

namespace Grid.UnitTests.Tenancy;

public sealed class CapabilitiesTests
{
    private static Capabilities Of(params (string Pattern, Capability Granted)[] grants) =>
        new([.. grants.Select(g => KeyValuePair.Create(g.Pattern, g.Granted))]);

    [Fact]
    public void Grants_add_up_and_nothing_else_is_allowed()
    {
        var some = Of(("room:*", Capability.Subscribe), ("room:1", Capability.Publish), ("room:1*", Capability.History));
        Assert.True(some.Allows("room:1", Capability.Subscribe | Capability.Publish | Capability.History));
        Assert.False(some.Allows("room:2", Capability.Publish));
        Assert.False(some.Allows("room:1", Capability.Presence));
        Assert.False(some.Allows("room", Capability.Subscribe));
        Assert.False(some.Allows("Room:1", Capability.Subscribe));
        Assert.False(Of().Allows("room:1", Capability.Subscribe));
    }

    [Fact]
    public void Nobody_publishes_on_Grids_own_channels()
    {
        foreach (var granted in (Capabilities[])[Capabilities.Everything, Of(("grid:*", Capability.All)), Of(("grid:webhooks", Capability.All))])
        {
            Assert.True(granted.Allows("grid:webhooks", Capability.Subscribe | Capability.History));
            Assert.False(granted.Allows("grid:webhooks", Capability.Publish));
            Assert.False(granted.Allows("grid:webhooks", Capability.All));
        }

        Assert.True(Capabilities.Everything.Allows("grid", Capability.Publish));
    }

    [Fact]
    public void A_star_covers_all_and_only_what_is_had_can_be_handed_on()
    {
        Assert.True(Capabilities.Everything.Covers(Of(("*", Capability.All))));
        var key = Of(("room:*", Capability.Subscribe | Capability.Publish), ("news", Capability.Subscribe));
        Assert.True(key.Covers(Of(("room:1", Capability.Publish), ("room:1:*", Capability.Subscribe), ("news", Capability.Subscribe))));
        Assert.False(key.Covers(Of(("room:1", Capability.History))));
        Assert.False(key.Covers(Of(("room*", Capability.Subscribe))));
        Assert.False(key.Covers(Of(("news*", Capability.Subscribe))));
        Assert.False(key.Covers(Capabilities.Everything));
        Assert.True(key.Covers(Of()));
    }

    [Fact]
    public void Names_are_those_of_the_contract_and_come_back_the_same()
    {
        Assert.Equal(["subscribe", "publish", "history", "presence"], CapabilityNames.ToNames(Capability.All));
        var names = CapabilityNames.ToNames(Of(("room:*", Capability.Subscribe), ("room:*", Capability.Publish), ("a", Capability.None)));
        Assert.Equal(["subscribe", "publish"], names["room:*"]);
        var back = CapabilityNames.FromNames(names);
        Assert.True(back.Allows("room:9", Capability.Publish | Capability.Subscribe));
        Assert.False(back.Allows("a", Capability.Subscribe));
        Assert.False(CapabilityNames.TryParse("Subscribe", out _));
    }

    [Theory]
    [InlineData("ana", true)]
    [InlineData("Ana Müller 🦊", true)]
    [InlineData("", false)]
    [InlineData(null, false)]
    [InlineData("a\nb", false)]
    [InlineData("a\u0085b", false)]
    public void Users_have_no_control_characters(string? user, bool expected)
    {
        Assert.Equal(expected, UserName.IsValid(user));
        Assert.False(UserName.IsValid("a\ud83e"));
        Assert.False(UserName.IsValid("\ude00a"));
        Assert.True(UserName.IsValid(new string('u', 128)));
        Assert.False(UserName.IsValid(new string('u', 129)));
    }
}
